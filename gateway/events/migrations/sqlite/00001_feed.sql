-- +goose Up

-- How far the feed has come, one row. genesis is the hash of block 0.
CREATE TABLE checkpoint (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    blocks  INTEGER NOT NULL,
    hash    BLOB NOT NULL,
    genesis BLOB NOT NULL
);

-- The feed. It derives from the blocks alone.
CREATE TABLE events (
    block    INTEGER NOT NULL,
    tx       INTEGER NOT NULL, -- in the block, from 0
    place    INTEGER NOT NULL, -- in the transaction, from 1
    type     TEXT NOT NULL,
    document BLOB NOT NULL,    -- JSON
    PRIMARY KEY (block, tx, place)
);

-- What later events of an access are told with, and when its end is told of. warn is 0
-- where it never is, or has been.
CREATE TABLE accesses (
    custodian TEXT NOT NULL,
    requester TEXT NOT NULL,
    id        TEXT NOT NULL,
    handle    TEXT NOT NULL,
    purpose   TEXT NOT NULL,
    warn      INTEGER NOT NULL, -- seconds since 1970 UTC
    expires   INTEGER NOT NULL, -- likewise
    PRIMARY KEY (custodian, requester, id)
);
CREATE INDEX accesses_warn ON accesses (warn) WHERE warn > 0;

-- The custodians that have released anything to this member, or this member itself.
CREATE TABLE partners (custodian TEXT PRIMARY KEY);

-- The member's own present keys, and when they are to be replaced; 0 once that was told.
CREATE TABLE keys_due (
    use TEXT PRIMARY KEY, -- hpke, signing
    id  TEXT NOT NULL,
    due INTEGER NOT NULL
);

-- Where events are delivered. Secrets are in the key store.
CREATE TABLE subscriptions (
    id          TEXT PRIMARY KEY,
    url         TEXT NOT NULL,
    types       TEXT NOT NULL, -- comma
    format      TEXT NOT NULL,
    description TEXT NOT NULL,
    delivered   TEXT NOT NULL, -- position that is done with
    count       INTEGER NOT NULL,
    disabled    TEXT NOT NULL, -- why; empty if it isn't
    problem     TEXT NOT NULL, -- of the last try; empty if it went well
    attempt     INTEGER NOT NULL, -- how often the next event has been tried
    created     INTEGER NOT NULL, -- milliseconds since 1970 UTC, as the following; 0 is none
    failing     INTEGER NOT NULL,
    next_try    INTEGER NOT NULL,
    ends        INTEGER NOT NULL
);

-- What was tried.
CREATE TABLE deliveries (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    subscription TEXT NOT NULL,
    event        TEXT NOT NULL,
    position     TEXT NOT NULL,
    type         TEXT NOT NULL,
    time         INTEGER NOT NULL, -- milliseconds since 1970 UTC
    attempt      INTEGER NOT NULL,
    status       INTEGER NOT NULL, -- HTTP; 0 without an answer
    problem      TEXT NOT NULL,
    took         INTEGER NOT NULL  -- milliseconds
);
CREATE INDEX deliveries_subscription ON deliveries (subscription, number);
