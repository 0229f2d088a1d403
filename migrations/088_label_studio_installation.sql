-- Who this installation is, written into the description of its project in Label Studio, so that no two share one.
CREATE TABLE labelstudio_installation (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  id  uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO labelstudio_installation DEFAULT VALUES;
