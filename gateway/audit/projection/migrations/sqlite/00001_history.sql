-- +goose Up

-- One row a block; the highest is the checkpoint. transactions and entries count
-- what all blocks so far hold, this one included: the next of each is numbered so.
CREATE TABLE blocks (
    number       INTEGER PRIMARY KEY,
    hash         BLOB NOT NULL,
    transactions INTEGER NOT NULL,
    entries      INTEGER NOT NULL
);

-- Every transaction, invalid ones too.
CREATE TABLE transactions (
    number    INTEGER PRIMARY KEY, -- from 0, in ledger order
    block     INTEGER NOT NULL,
    idx       INTEGER NOT NULL,
    id        TEXT NOT NULL,
    claimed   INTEGER NOT NULL, -- seconds since 1970 UTC; the client's claim
    member    TEXT NOT NULL,
    agent     TEXT NOT NULL, -- subject of the certificate that signed
    chaincode TEXT NOT NULL,
    function  TEXT NOT NULL,
    validation TEXT NOT NULL,
    endorsers TEXT NOT NULL, -- MSP ids, ascending, comma
    malformed TEXT NOT NULL
);
CREATE INDEX transactions_block ON transactions (block, idx);
CREATE INDEX transactions_id ON transactions (id);

-- What each transaction did or tried to do, one row a thing: the audit trail.
CREATE TABLE entries (
    number      INTEGER PRIMARY KEY, -- from 0, in ledger order
    tx          INTEGER NOT NULL,    -- transactions.number
    claimed     INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    action      TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    reason      TEXT NOT NULL,
    member      TEXT NOT NULL,
    custodian   TEXT NOT NULL,
    requester   TEXT NOT NULL,
    handle      TEXT NOT NULL,
    object      TEXT NOT NULL,
    version     INTEGER NOT NULL,
    purpose     TEXT NOT NULL,
    classes     TEXT NOT NULL,
    policy      TEXT NOT NULL, -- consent id
    policy_version INTEGER NOT NULL,
    policy_path TEXT NOT NULL
);
CREATE INDEX entries_handle ON entries (handle, number) WHERE handle <> '';
CREATE INDEX entries_object ON entries (object, number) WHERE object <> '';
CREATE INDEX entries_member ON entries (member, number);
CREATE INDEX entries_custodian ON entries (custodian, number) WHERE custodian <> '';
CREATE INDEX entries_denied ON entries (number) WHERE outcome = 'denied';
CREATE INDEX entries_claimed ON entries (claimed);

-- What the ledger's state holds, as the writes of valid transactions left it. entry
-- is the entry that wrote the row last; document is the value as it stands there.

CREATE TABLE members (
    msp     TEXT NOT NULL,
    entry   INTEGER NOT NULL,
    name    TEXT NOT NULL,
    kind    TEXT NOT NULL,
    status  TEXT NOT NULL,
    gateway TEXT NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (msp, entry) -- every version
);

CREATE TABLE member_keys (
    msp      TEXT NOT NULL,
    entry    INTEGER NOT NULL,
    signing  TEXT NOT NULL, -- id of the Ed25519 key
    hpke     TEXT NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (msp, entry)
);

CREATE TABLE motions (
    id       TEXT PRIMARY KEY,
    entry    INTEGER NOT NULL,
    target   TEXT NOT NULL,
    document BLOB NOT NULL -- empty once it was carried
);

CREATE TABLE closings (
    entry   INTEGER PRIMARY KEY,
    through INTEGER NOT NULL -- minutes since 1970 UTC
);

CREATE TABLE records (
    custodian TEXT NOT NULL,
    id        TEXT NOT NULL,
    entry     INTEGER NOT NULL,
    status    TEXT NOT NULL,
    document  BLOB NOT NULL,
    PRIMARY KEY (custodian, id)
);

CREATE TABLE consents (
    custodian TEXT NOT NULL,
    requester TEXT NOT NULL,
    handle    TEXT NOT NULL,
    id        TEXT NOT NULL,
    version   INTEGER NOT NULL,
    entry     INTEGER NOT NULL,
    status    TEXT NOT NULL,
    begins    INTEGER NOT NULL, -- seconds; 0 none
    ends      INTEGER NOT NULL, -- likewise, exclusive
    reason    TEXT NOT NULL,    -- of a withdrawal
    document  BLOB NOT NULL,
    PRIMARY KEY (custodian, requester, handle, id, version)
);
CREATE INDEX consents_id ON consents (id, version);
CREATE INDEX consents_ends ON consents (ends, id) WHERE status = 'active' AND ends <> 0;

CREATE TABLE accesses (
    custodian TEXT NOT NULL,
    requester TEXT NOT NULL,
    id        TEXT NOT NULL,
    entry     INTEGER NOT NULL, -- of the request; -1 where there is none
    handle    TEXT NOT NULL,
    purpose   TEXT NOT NULL,
    outcome   TEXT NOT NULL, -- permit, deny
    reason    TEXT NOT NULL, -- of the rule that decided
    asked     INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    document  BLOB NOT NULL,
    released  INTEGER NOT NULL, -- entry of the release; -1 where there is none
    release   BLOB NOT NULL,
    received  INTEGER NOT NULL, -- entry of the receipt; -1 where there is none
    receipt   BLOB NOT NULL,
    PRIMARY KEY (custodian, requester, id)
);
CREATE INDEX accesses_id ON accesses (id);
CREATE INDEX accesses_disclosed ON accesses (handle, released) WHERE released >= 0;
CREATE INDEX accesses_unreceipted ON accesses (released) WHERE released >= 0 AND received < 0;

-- How often a member did something in an hour; valid transactions only.
CREATE TABLE tallies (
    hour    INTEGER NOT NULL, -- since 1970 UTC, of the claimed time
    member  TEXT NOT NULL,
    kind    TEXT NOT NULL,
    outcome TEXT NOT NULL,
    n       INTEGER NOT NULL,
    PRIMARY KEY (hour, member, kind, outcome)
);

-- +goose Down
DROP TABLE tallies;
DROP TABLE accesses;
DROP TABLE consents;
DROP TABLE records;
DROP TABLE closings;
DROP TABLE motions;
DROP TABLE member_keys;
DROP TABLE members;
DROP TABLE entries;
DROP TABLE transactions;
DROP TABLE blocks;
