-- +goose Up

-- Orders to disclose, and what came of them.
CREATE TABLE orders (
    holder    TEXT NOT NULL, -- MSP id of who has it
    regulator TEXT NOT NULL, -- MSP id of who orders
    id        TEXT NOT NULL,
    entry     INTEGER NOT NULL, -- of the order; -1 where there is none
    due       INTEGER NOT NULL, -- seconds since 1970 UTC
    document  BLOB NOT NULL,
    answered  INTEGER NOT NULL, -- entry of the answer; -1 where there is none
    answer    BLOB NOT NULL,
    concluded INTEGER NOT NULL, -- entry of the conclusion; likewise
    conclusion BLOB NOT NULL,
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
