-- +goose Up

-- Searches page along the order of the ledger.
CREATE INDEX consents_entry ON consents (entry);
CREATE INDEX accesses_entry ON accesses (entry);

-- +goose Down
DROP INDEX accesses_entry;
DROP INDEX consents_entry;
