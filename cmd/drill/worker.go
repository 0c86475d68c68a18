package main

import (
	"os"
	"time"

	"impfportal/internal/clock"
)

// startWorker starts bin/worker on the drill's data folder. Further settings are
// "NAME=value".
func startWorker(dataDir string, settings ...string) (*child, error) {
	return startChild("worker", os.Stderr, append(settings, "DATA_DIR="+dataDir)...)
}

// clockAt is the setting for a clock that shows a moment at the start.
func clockAt(at time.Time) string {
	return "PORTAL_CLOCK=" + at.In(clock.Berlin).Format("2006-01-02T15:04:05")
}
