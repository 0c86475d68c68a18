-- +goose Up
-- Doses given elsewhere need nothing but a document: who certifies them steadily below
-- the hourly limits is seen by what one operator does in a day, and by how much
-- more that is than operators of such issuers usually do.
ALTER TABLE certificate.issuer_threshold DROP CONSTRAINT issuer_threshold_alarm;
ALTER TABLE certificate.issuer_threshold ADD CONSTRAINT issuer_threshold_alarm
    CHECK (alarm IN ('crowd', 'names', 'odd_hours', 'lot_fast', 'appointments', 'repeat', 'seen_day', 'seen_usual'));
ALTER TABLE certificate.issuer_threshold DISABLE TRIGGER issuer_threshold_guard; -- it wants a rule before each
INSERT INTO certificate.issuer_threshold (alarm, issuer_kind, from_at, at_least, ratio, seconds) VALUES
    ('seen_day', '', '2020-01-01', 60, 0, 86400),
    ('seen_day', 'pharmacy', '2020-01-01', 150, 0, 86400),
    ('seen_day', 'centre', '2020-01-01', 300, 0, 86400),
    ('seen_usual', '', '2020-01-01', 20, 3, 86400);
ALTER TABLE certificate.issuer_threshold ENABLE TRIGGER issuer_threshold_guard;

-- +goose Down
ALTER TABLE certificate.issuer_threshold DISABLE TRIGGER issuer_threshold_guard;
DELETE FROM certificate.issuer_threshold WHERE alarm IN ('seen_day', 'seen_usual');
ALTER TABLE certificate.issuer_threshold ENABLE TRIGGER issuer_threshold_guard;
ALTER TABLE certificate.issuer_threshold DROP CONSTRAINT issuer_threshold_alarm;
ALTER TABLE certificate.issuer_threshold ADD CONSTRAINT issuer_threshold_alarm
    CHECK (alarm IN ('crowd', 'names', 'odd_hours', 'lot_fast', 'appointments', 'repeat'));
