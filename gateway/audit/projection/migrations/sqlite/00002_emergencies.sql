-- +goose Up

-- The person behind a request: a salted digest, and the role. Nobody was before.
ALTER TABLE entries ADD COLUMN person TEXT NOT NULL DEFAULT '';
ALTER TABLE entries ADD COLUMN person_role TEXT NOT NULL DEFAULT '';

-- Break-glass accesses and how their reviews stand.
CREATE TABLE emergencies (
    custodian TEXT NOT NULL,
    requester TEXT NOT NULL,
    id        TEXT NOT NULL,
    entry     INTEGER NOT NULL, -- of the request
    asked     INTEGER NOT NULL, -- seconds since 1970 UTC
    due       INTEGER NOT NULL, -- of the review
    reason    TEXT NOT NULL, -- why the glass was broken
    verdict   TEXT NOT NULL, -- accepted, rejected; empty until it is reviewed
    reviewed  INTEGER NOT NULL, -- entry of the review; -1 where there is none
    resolved  INTEGER NOT NULL, -- entry of a rejected one's resolution; likewise
    review    BLOB NOT NULL,
    PRIMARY KEY (custodian, requester, id)
);
CREATE INDEX emergencies_entry ON emergencies (entry);
CREATE INDEX emergencies_asked ON emergencies (asked, requester);
CREATE INDEX emergencies_open ON emergencies (due) WHERE verdict = '';

-- +goose Down
DROP TABLE emergencies;
ALTER TABLE entries DROP COLUMN person_role;
ALTER TABLE entries DROP COLUMN person;
