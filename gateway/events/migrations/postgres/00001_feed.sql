-- +goose Up

-- How far the feed has come, one row. genesis is the hash of block 0.
CREATE TABLE checkpoint (
    one     BIGINT PRIMARY KEY CHECK (one = 1),
    blocks  BIGINT NOT NULL,
    hash    BYTEA NOT NULL,
    genesis BYTEA NOT NULL
);

-- The feed. It derives from the blocks alone.
CREATE TABLE events (
    block    BIGINT NOT NULL,
    tx       BIGINT NOT NULL, -- in the block, from 0
    place    BIGINT NOT NULL, -- in the transaction, from 1
    type     TEXT COLLATE "C" NOT NULL,
    document BYTEA NOT NULL,  -- JSON
    PRIMARY KEY (block, tx, place)
);

-- What later events of an access are told with, and when its end is told of. warn is 0
-- where it never is, or has been.
CREATE TABLE accesses (
    custodian TEXT COLLATE "C" NOT NULL,
    requester TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    handle    TEXT COLLATE "C" NOT NULL,
    purpose   TEXT COLLATE "C" NOT NULL,
    warn      BIGINT NOT NULL, -- seconds since 1970 UTC
    expires   BIGINT NOT NULL, -- likewise
    PRIMARY KEY (custodian, requester, id)
);
CREATE INDEX accesses_warn ON accesses (warn) WHERE warn > 0;

-- The custodians that have released anything to this member, or this member itself.
CREATE TABLE partners (custodian TEXT COLLATE "C" PRIMARY KEY);

-- The member's own present keys, and when they are to be replaced; 0 once that was told.
CREATE TABLE keys_due (
    use TEXT COLLATE "C" PRIMARY KEY, -- hpke, signing
    id  TEXT COLLATE "C" NOT NULL,
    due BIGINT NOT NULL
);

-- Where events are delivered. Secrets are in the key store.
CREATE TABLE subscriptions (
    id          TEXT COLLATE "C" PRIMARY KEY,
    url         TEXT COLLATE "C" NOT NULL,
    types       TEXT COLLATE "C" NOT NULL, -- comma
    format      TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    delivered   TEXT COLLATE "C" NOT NULL, -- position that is done with
    count       BIGINT NOT NULL,
    disabled    TEXT COLLATE "C" NOT NULL, -- why; empty if it isn't
    problem     TEXT COLLATE "C" NOT NULL, -- of the last try; empty if it went well
    attempt     BIGINT NOT NULL, -- how often the next event has been tried
    created     BIGINT NOT NULL, -- milliseconds since 1970 UTC, as the following; 0 is none
    failing     BIGINT NOT NULL,
    next_try    BIGINT NOT NULL,
    ends        BIGINT NOT NULL
);

-- What was tried.
CREATE TABLE deliveries (
    number       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription TEXT COLLATE "C" NOT NULL,
    event        TEXT COLLATE "C" NOT NULL,
    position     TEXT COLLATE "C" NOT NULL,
    type         TEXT COLLATE "C" NOT NULL,
    time         BIGINT NOT NULL, -- milliseconds since 1970 UTC
    attempt      BIGINT NOT NULL,
    status       BIGINT NOT NULL, -- HTTP; 0 without an answer
    problem      TEXT COLLATE "C" NOT NULL,
    took         BIGINT NOT NULL  -- milliseconds
);
CREATE INDEX deliveries_subscription ON deliveries (subscription, number);
