"""The embedded stack: real PostgreSQL and Kafka, the four services, and who watches them."""
