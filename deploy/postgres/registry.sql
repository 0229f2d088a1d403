-- Run once by the Postgres image on an empty volume: the schema registry keeps its schemas in a database of its own.
CREATE DATABASE registry;
