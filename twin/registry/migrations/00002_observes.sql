-- Which CityObject a terminal observes, as declared: the manifest's JSON, a text
-- DATASET/ID or an object of such by property; '' is nothing.

-- +goose Up
ALTER TABLE things ADD COLUMN observes TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE things DROP COLUMN observes;
