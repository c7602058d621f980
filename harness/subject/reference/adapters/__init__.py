"""The reference backup system on real services: Kafka, S3 and Postgres."""
