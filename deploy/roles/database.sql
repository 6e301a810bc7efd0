-- The rights inside one service's database. Run as a superuser in it, {service} replaced:
--   sed 's/{service}/intake/g' database.sql | psql -v ON_ERROR_STOP=1 liandiao_intake
ALTER SCHEMA public OWNER TO {service}_migrator;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO {service}_app;
ALTER DEFAULT PRIVILEGES FOR ROLE {service}_migrator IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {service}_app;
ALTER DEFAULT PRIVILEGES FOR ROLE {service}_migrator IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO {service}_app;
