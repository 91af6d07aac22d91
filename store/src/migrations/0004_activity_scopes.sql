-- What happened in one project or company, newest first, however rare it is among the rest.
CREATE INDEX activity_by_project ON activity (project_id) WHERE project_id IS NOT NULL;
CREATE INDEX activity_by_company ON activity (company_id);
-- The last number that issues with a key were given, whichever project has the key now.
INSERT INTO counters (name, value)
SELECT 'issue/' || substr(identifier, 1, instr(identifier, '-') - 1),
       max(CAST(substr(identifier, instr(identifier, '-') + 1) AS INTEGER))
FROM issues WHERE instr(identifier, '-') > 0 GROUP BY 1;
-- Digests of the last messages of a run's agent, so that one that is sent again is taken once.
ALTER TABLE runs ADD COLUMN agent_messages TEXT;
