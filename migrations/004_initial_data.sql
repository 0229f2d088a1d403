-- The model that is in production before the first training, as the user's document describes it.
INSERT INTO model_versions (version, status, traffic_percentage, test_accuracy, created_at, deployed_at)
VALUES ('router-v1.0.0', 'production', 100, 0.82, '2025-11-13T00:00:00Z', '2025-11-13T00:00:00Z');
INSERT INTO model_deployments (version, status, traffic_percentage, deployed_at)
VALUES ('router-v1.0.0', 'production', 100, '2025-11-13T00:00:00Z');

INSERT INTO labelstudio_projects (id, title, description)
VALUES (1, 'Samvad intent review', 'Conversations that wait for a person, with the model''s prediction filled in');
