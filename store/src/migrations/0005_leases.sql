-- How long what a lease held is kept after its run, milliseconds; what the last probe of an environment saw.
ALTER TABLE environments ADD COLUMN keep_ms INTEGER NOT NULL DEFAULT 86400000;
ALTER TABLE environments ADD COLUMN probe TEXT;
-- The settings that a lease was acquired with, so that it can be given back after they were edited.
ALTER TABLE environment_leases ADD COLUMN config TEXT;
-- When it is renewed for its living holder; until when what it held is kept.
ALTER TABLE environment_leases ADD COLUMN renew_at INTEGER;
ALTER TABLE environment_leases ADD COLUMN retain_until INTEGER;
-- The lease whose place this one took over; the request that asked for one without a run.
ALTER TABLE environment_leases ADD COLUMN resumed_from TEXT REFERENCES environment_leases DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE environment_leases ADD COLUMN request_id TEXT;
-- Where it stands in a queue of the provider; what was asked of the realisation and what came of it.
ALTER TABLE environment_leases ADD COLUMN queue TEXT;
ALTER TABLE environment_leases ADD COLUMN realisation TEXT;
-- What stood in the way of giving it back, the last time.
ALTER TABLE environment_leases ADD COLUMN cleanup_error TEXT;
-- Whether what it holds is to be removed at the provider, and not only given back.
ALTER TABLE environment_leases ADD COLUMN destroying INTEGER NOT NULL DEFAULT 0 CHECK (destroying IN (0, 1));
-- Providers count for themselves: two environments may hold places of one name.
DROP INDEX leases_one_open_per_provider_lease;
CREATE UNIQUE INDEX leases_one_open_per_provider_lease ON environment_leases (environment_id, provider_lease_id)
    WHERE provider_lease_id IS NOT NULL AND status NOT IN ('released', 'expired', 'failed');
