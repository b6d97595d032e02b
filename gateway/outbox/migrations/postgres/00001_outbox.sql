-- +goose Up

-- One row a write that somebody asked for. What it says is sealed: it may name patients.
CREATE TABLE entries (
    number   BIGSERIAL PRIMARY KEY,
    name     BYTEA NOT NULL UNIQUE, -- keyed digest of caller, method and key
    body     BYTEA NOT NULL,        -- keyed digest of what was asked
    method   TEXT NOT NULL,
    state    TEXT NOT NULL,        -- open, given-up, done
    step     TEXT NOT NULL,        -- the last transaction that was prepared: function and id
    attempts BIGINT NOT NULL,
    outcome  TEXT NOT NULL,        -- code of the last attempt's end
    next     BIGINT NOT NULL,     -- milliseconds since 1970 UTC; of the next attempt
    created  BIGINT NOT NULL,     -- likewise
    ended    BIGINT NOT NULL,     -- likewise; 0 while it isn't done
    sealed   BYTEA NOT NULL,        -- caller, key, chosen id, request
    answer   BYTEA                  -- sealed; what the caller was told, or is to be
);
CREATE INDEX entries_due ON entries (next) WHERE state = 'open';
CREATE INDEX entries_ended ON entries (ended) WHERE state = 'done';

-- Signed transactions, from before they are handed over until what they did is kept.
CREATE TABLE transactions (
    id       TEXT PRIMARY KEY,
    entry    BIGINT NOT NULL, -- 0 where none asked for it
    function TEXT NOT NULL,
    argument BYTEA NOT NULL,    -- keyed digest
    created  BIGINT NOT NULL, -- milliseconds since 1970 UTC
    sealed   BYTEA NOT NULL     -- envelope and result
);
CREATE INDEX transactions_entry ON transactions (entry, function);

-- How far this gateway has come, to know an older copy by.
CREATE TABLE marks (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
