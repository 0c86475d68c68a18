package main

import "os"

// startWorker starts bin/worker on the drill's data folder.
func startWorker(dataDir string) (*child, error) {
	return startChild("worker", os.Stderr, "DATA_DIR="+dataDir)
}
