-- +goose Up

-- One row a block; the highest is the checkpoint. transactions and entries count
-- what all blocks so far hold, this one included: the next of each is numbered so.
CREATE TABLE blocks (
    number       BIGINT PRIMARY KEY,
    hash         BYTEA NOT NULL,
    transactions BIGINT NOT NULL,
    entries      BIGINT NOT NULL
);

-- Every transaction, invalid ones too.
CREATE TABLE transactions (
    number    BIGINT PRIMARY KEY, -- from 0, in ledger order
    block     BIGINT NOT NULL,
    idx       BIGINT NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    claimed   BIGINT NOT NULL, -- seconds since 1970 UTC; the client's claim
    member    TEXT COLLATE "C" NOT NULL,
    agent     TEXT COLLATE "C" NOT NULL, -- subject of the certificate that signed
    chaincode TEXT COLLATE "C" NOT NULL,
    function  TEXT COLLATE "C" NOT NULL,
    validation TEXT COLLATE "C" NOT NULL,
    endorsers TEXT COLLATE "C" NOT NULL, -- MSP ids, ascending, comma
    malformed TEXT COLLATE "C" NOT NULL
);
CREATE INDEX transactions_block ON transactions (block, idx);
CREATE INDEX transactions_id ON transactions (id);

-- What each transaction did or tried to do, one row a thing: the audit trail.
CREATE TABLE entries (
    number      BIGINT PRIMARY KEY, -- from 0, in ledger order
    tx          BIGINT NOT NULL,    -- transactions.number
    claimed     BIGINT NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL,
    action      TEXT COLLATE "C" NOT NULL,
    outcome     TEXT COLLATE "C" NOT NULL,
    reason      TEXT COLLATE "C" NOT NULL,
    member      TEXT COLLATE "C" NOT NULL,
    custodian   TEXT COLLATE "C" NOT NULL,
    requester   TEXT COLLATE "C" NOT NULL,
    handle      TEXT COLLATE "C" NOT NULL,
    object      TEXT COLLATE "C" NOT NULL,
    version     BIGINT NOT NULL,
    purpose     TEXT COLLATE "C" NOT NULL,
    classes     TEXT COLLATE "C" NOT NULL,
    policy      TEXT COLLATE "C" NOT NULL, -- consent id
    policy_version BIGINT NOT NULL,
    policy_path TEXT COLLATE "C" NOT NULL
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
    msp     TEXT COLLATE "C" NOT NULL,
    entry   BIGINT NOT NULL,
    name    TEXT COLLATE "C" NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL,
    status  TEXT COLLATE "C" NOT NULL,
    gateway TEXT COLLATE "C" NOT NULL,
    document BYTEA NOT NULL,
    PRIMARY KEY (msp, entry) -- every version
);

CREATE TABLE member_keys (
    msp      TEXT COLLATE "C" NOT NULL,
    entry    BIGINT NOT NULL,
    signing  TEXT COLLATE "C" NOT NULL, -- id of the Ed25519 key
    hpke     TEXT COLLATE "C" NOT NULL,
    document BYTEA NOT NULL,
    PRIMARY KEY (msp, entry)
);

CREATE TABLE motions (
    id       TEXT COLLATE "C" PRIMARY KEY,
    entry    BIGINT NOT NULL,
    target   TEXT COLLATE "C" NOT NULL,
    document BYTEA NOT NULL -- empty once it was carried
);

CREATE TABLE closings (
    entry   BIGINT PRIMARY KEY,
    through BIGINT NOT NULL -- minutes since 1970 UTC
);

CREATE TABLE records (
    custodian TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    entry     BIGINT NOT NULL,
    status    TEXT COLLATE "C" NOT NULL,
    document  BYTEA NOT NULL,
    PRIMARY KEY (custodian, id)
);

CREATE TABLE consents (
    custodian TEXT COLLATE "C" NOT NULL,
    requester TEXT COLLATE "C" NOT NULL,
    handle    TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    version   BIGINT NOT NULL,
    entry     BIGINT NOT NULL,
    status    TEXT COLLATE "C" NOT NULL,
    begins    BIGINT NOT NULL, -- seconds; 0 none
    ends      BIGINT NOT NULL, -- likewise, exclusive
    reason    TEXT COLLATE "C" NOT NULL,    -- of a withdrawal
    document  BYTEA NOT NULL,
    PRIMARY KEY (custodian, requester, handle, id, version)
);
CREATE INDEX consents_id ON consents (id, version);
CREATE INDEX consents_ends ON consents (ends, id) WHERE status = 'active' AND ends <> 0;

CREATE TABLE accesses (
    custodian TEXT COLLATE "C" NOT NULL,
    requester TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    entry     BIGINT NOT NULL, -- of the request; -1 where there is none
    handle    TEXT COLLATE "C" NOT NULL,
    purpose   TEXT COLLATE "C" NOT NULL,
    outcome   TEXT COLLATE "C" NOT NULL, -- permit, deny
    reason    TEXT COLLATE "C" NOT NULL, -- of the rule that decided
    asked     BIGINT NOT NULL,
    expires   BIGINT NOT NULL,
    document  BYTEA NOT NULL,
    released  BIGINT NOT NULL, -- entry of the release; -1 where there is none
    release   BYTEA NOT NULL,
    received  BIGINT NOT NULL, -- entry of the receipt; -1 where there is none
    receipt   BYTEA NOT NULL,
    PRIMARY KEY (custodian, requester, id)
);
CREATE INDEX accesses_id ON accesses (id);
CREATE INDEX accesses_disclosed ON accesses (handle, released) WHERE released >= 0;
CREATE INDEX accesses_unreceipted ON accesses (released) WHERE released >= 0 AND received < 0;

-- How often a member did something in an hour; valid transactions only.
CREATE TABLE tallies (
    hour    BIGINT NOT NULL, -- since 1970 UTC, of the claimed time
    member  TEXT COLLATE "C" NOT NULL,
    kind    TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    n       BIGINT NOT NULL,
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
