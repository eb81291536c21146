SET password_encryption = 'scram-sha-256'
ALTER ROLE postgres PASSWORD 'postgres'
CREATE ROLE plusmoin LOGIN PASSWORD 'carrotcake'
GRANT pg_read_all_stats TO plusmoin
CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'replicator'
CREATE DATABASE plusmoin OWNER plusmoin
