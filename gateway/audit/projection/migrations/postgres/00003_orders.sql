-- +goose Up

-- Orders to disclose, and what came of them.
CREATE TABLE orders (
    holder    TEXT COLLATE "C" NOT NULL, -- MSP id of who has it
    regulator TEXT COLLATE "C" NOT NULL, -- MSP id of who orders
    id        TEXT COLLATE "C" NOT NULL,
    entry     BIGINT NOT NULL, -- of the order; -1 where there is none
    due       BIGINT NOT NULL, -- seconds since 1970 UTC
    document  BYTEA NOT NULL,
    answered  BIGINT NOT NULL, -- entry of the answer; -1 where there is none
    answer    BYTEA NOT NULL,
    concluded BIGINT NOT NULL, -- entry of the conclusion; likewise
    conclusion BYTEA NOT NULL,
    PRIMARY KEY (holder, regulator, id)
);
CREATE INDEX orders_entry ON orders (entry);
CREATE INDEX orders_holder ON orders (holder, entry);
CREATE INDEX orders_open ON orders (due) WHERE concluded < 0;

-- Those of blocks that were taken before are there once the blocks are taken anew, which
-- begins by itself where there are none.
DELETE FROM tallies;
DELETE FROM emergencies;
DELETE FROM accesses;
DELETE FROM consents;
DELETE FROM records;
DELETE FROM closings;
DELETE FROM motions;
DELETE FROM member_keys;
DELETE FROM members;
DELETE FROM entries;
DELETE FROM transactions;
DELETE FROM blocks;

-- +goose Down
DROP TABLE orders;
