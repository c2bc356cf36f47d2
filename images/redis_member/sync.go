// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// With `appendfsync everysec` the server does not write to its append-only file while the last second's fsync is under way, for up to two
// seconds (aof.c, flushAppendOnlyFile), but acknowledges the writes: a server that is killed then has lost them, although the machine runs on.
// With `no` it writes before it acknowledges, always, and what was written survives it. So where everysec is wanted, the server is told `no`
// and this program does the fsync of every second: the same at a loss of power, and nothing is lost when a server is killed.

// everySecond tells whether a configuration wants everysec, which is the server's default.
func everySecond(config string) bool {
	policy := "everysec"
	for line := range strings.Lines(config) {
		if words := strings.Fields(line); len(words) == 2 && strings.EqualFold(words[0], "appendfsync") {
			policy = strings.ToLower(strings.Trim(words[1], `"'`))
		}
	}
	return policy == "everysec"
}

// A syncer knows which files have changed since they were last on the disk.
type syncer struct {
	directory string
	synced    map[string]time.Time // modification times
}

func (s *syncer) run(every time.Duration) {
	for range time.Tick(every) {
		if _, err := s.sync(); err != nil {
			say("the append-only file cannot be written to the disk: %v", err)
		}
	}
}

// sync brings the files that have changed onto the disk; how many these were.
func (s *syncer) sync() (int, error) {
	files, _ := filepath.Glob(filepath.Join(s.directory, "appendonlydir", "*.aof"))
	now, number := map[string]time.Time{}, 0
	defer func() { s.synced = now }()
	for _, path := range files {
		found, err := os.Stat(path)
		if err != nil {
			continue // the server has put another one in its place
		}
		now[path] = s.synced[path]
		if found.ModTime().Equal(now[path]) {
			continue
		}
		file, err := os.Open(path)
		if err != nil {
			continue
		}
		err = syscall.Fdatasync(int(file.Fd()))
		file.Close()
		if err != nil {
			return number, err
		}
		now[path] = found.ModTime()
		number++
	}
	return number, nil
}
