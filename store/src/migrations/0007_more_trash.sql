-- What else of a workspace lies in a trash beside the directory of its last archive: a JSON list, each with where it
-- lies and until when; NULL when there is nothing else.
ALTER TABLE execution_workspaces ADD COLUMN trash_more TEXT;
CREATE INDEX workspaces_with_more_trash ON execution_workspaces (number) WHERE trash_more IS NOT NULL;
