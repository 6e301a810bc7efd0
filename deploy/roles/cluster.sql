-- One service's roles and database. Run as a superuser, once per service, {service} replaced:
--   sed 's/{service}/intake/g' cluster.sql | psql -v ON_ERROR_STOP=1 postgres
-- The migrator owns everything; the app role, which runs the service, owns nothing.
-- Give both a password afterwards (\password intake_app).
CREATE ROLE {service}_migrator LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
CREATE ROLE {service}_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
CREATE DATABASE liandiao_{service} OWNER {service}_migrator ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE liandiao_{service} FROM PUBLIC;
GRANT CONNECT ON DATABASE liandiao_{service} TO {service}_app;
