// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// redis-member runs a Redis server or a Sentinel of any image (Valkey as well) as the first process of a pod. It decides at every start
// whether the server begins as master or as replica, so that no pod promotes itself on a guess. An init container copies it into a volume:
//
//	redis-member install DIRECTORY
//	redis-member server   -members NAME,... -sentinels NAME,... [...]
//	redis-member sentinel -members NAME,... -sentinels NAME,... -namespace NAMESPACE [...]
//	redis-member live|ready [-address 127.0.0.1] [-port 6380] [-timeout 4s]
//
// Where to read on:
//
//	decide.go    evidence -> decision; pure, and all there is to know about who may become master
//	evidence.go  what a member knows of itself: kept on its volume, told to the others
//	server.go    the life of a server: decide, start, watch, end        handover.go  a master that ends lets another one follow it
//	sentinel.go  the life of a sentinel, and its state                  process.go   child processes, signals
//	config.go    options, addresses, redis.conf                         acl.go       users and their rights
//	redis.go     questions to servers and sentinels                     probes.go    live and ready
//	watch.go     what a running server says, and what follows from it   sync.go      the append-only file, onto the disk
//	spin.go      a sentinel that works for nobody
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// Ends of the process, as in sysexits.h.
const (
	exitFailed  = 1
	exitUsage   = 64
	exitWaiting = 75 // the server ended too often: a restart tries again
	exitConfig  = 78 // a restart will not help
)

// A refusal says what was expected and seen, and what to try, as every error of the project.
type refusal struct {
	expected, seen, try string
	status              int
}

func (r *refusal) Error() string {
	return fmt.Sprintf("expected: %s; seen: %s; try: %s", r.expected, r.seen, r.try)
}

func main() {
	err := run(os.Args[1:])
	if err == nil {
		return
	}
	say("%v", err)
	var known *refusal
	if errors.As(err, &known) {
		os.Exit(known.status)
	}
	os.Exit(exitFailed)
}

func run(arguments []string) error {
	command := ""
	if len(arguments) > 0 {
		command, arguments = arguments[0], arguments[1:]
	}
	switch command {
	case "install":
		return install(arguments)
	case "server", "sentinel":
		options, err := parseOptions(command, arguments)
		if err != nil {
			return err
		}
		if command == "sentinel" {
			return runSentinel(options)
		}
		return runServer(options)
	case "live", "ready":
		return probe(command, arguments)
	}
	return &refusal{"one of the commands install, server, sentinel, live, ready", strconv.Quote(command), "see images/redis_member/main.go", exitUsage}
}

// install copies this program into a directory, under its own name.
func install(arguments []string) error {
	if len(arguments) != 1 {
		return &refusal{"one directory to install into", fmt.Sprint(arguments), "redis-member install DIRECTORY", exitUsage}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	source, err := os.Open(self)
	if err != nil {
		return err
	}
	defer source.Close()
	return writeFile(filepath.Join(arguments[0], "redis-member"), 0o555, source)
}

// writeFile replaces a file in one step and on the disk, so that none is ever half written.
func writeFile(path string, mode os.FileMode, content io.Reader) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = io.Copy(temporary, content)
	if err = errors.Join(err, temporary.Chmod(mode), temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}

// say tells whoever reads the pod's log.
func say(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "redis-member: "+format+"\n", values...)
}
