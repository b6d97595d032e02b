-- +goose Up

-- Orders about an access, answers and conclusions tell of which relationship they are. Those of
-- blocks that were taken before do once the blocks are taken anew, which begins by itself where
-- there are none.
DELETE FROM tallies;
DELETE FROM orders;
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
SELECT 1;
