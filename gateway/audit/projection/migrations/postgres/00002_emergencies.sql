-- +goose Up

-- The person behind a request: a salted digest, and the role. Nobody was before.
ALTER TABLE entries ADD COLUMN person TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE entries ADD COLUMN person_role TEXT COLLATE "C" NOT NULL DEFAULT '';

-- Break-glass accesses and how their reviews stand.
CREATE TABLE emergencies (
    custodian TEXT COLLATE "C" NOT NULL,
    requester TEXT COLLATE "C" NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    entry     BIGINT NOT NULL, -- of the request
    asked     BIGINT NOT NULL, -- seconds since 1970 UTC
    due       BIGINT NOT NULL, -- of the review
    reason    TEXT COLLATE "C" NOT NULL, -- why the glass was broken
    verdict   TEXT COLLATE "C" NOT NULL, -- accepted, rejected; empty until it is reviewed
    reviewed  BIGINT NOT NULL, -- entry of the review; -1 where there is none
    resolved  BIGINT NOT NULL, -- entry of a rejected one's resolution; likewise
    review    BYTEA NOT NULL,
    PRIMARY KEY (custodian, requester, id)
);
CREATE INDEX emergencies_entry ON emergencies (entry);
CREATE INDEX emergencies_asked ON emergencies (asked, requester);
CREATE INDEX emergencies_open ON emergencies (due) WHERE verdict = '';

-- +goose Down
DROP TABLE emergencies;
ALTER TABLE entries DROP COLUMN person_role;
ALTER TABLE entries DROP COLUMN person;
