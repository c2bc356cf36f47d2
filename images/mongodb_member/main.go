// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// mongodb-member starts and probes a MongoDB server of any image, with or without a shell. An init container copies it into a
// volume of the pod:
//
//	mongodb-member install DIRECTORY
//	mongodb-member exec [-name NAME] [-wait 120s] [-key FILE -key-copy FILE] -- mongod --replSet rs0 ...
//	mongodb-member live  [-port 27017] [-timeout 4s]
//	mongodb-member ready [-port 27017] [-timeout 4s]
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Ends of the process, as in sysexits.h.
const (
	exitFailed  = 1
	exitUsage   = 64
	exitWaiting = 75 // what was waited for did not come: a restart tries again
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
	fmt.Fprintln(os.Stderr, "mongodb-member:", err)
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
	case "exec":
		return execServer(arguments)
	case "live", "ready":
		return probe(command, arguments)
	}
	return &refusal{"one of the commands install, exec, live, ready", strconv.Quote(command), "see images/mongodb_member/main.go", exitUsage}
}

// install copies this program into a directory, under its own name.
func install(arguments []string) error {
	if len(arguments) != 1 {
		return &refusal{"one directory to install into", fmt.Sprint(arguments), "mongodb-member install DIRECTORY", exitUsage}
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
	return writeFile(filepath.Join(arguments[0], "mongodb-member"), 0o555, source)
}

// writeFile replaces a file in one step, so that a file that may not be written (0400) is no obstacle and none is half written.
func writeFile(path string, mode os.FileMode, content io.Reader) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = io.Copy(temporary, content)
	if err = errors.Join(err, temporary.Chmod(mode), temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}

// probe asks the server of this pod who it is: live is any answer, ready one of a member that serves its part.
func probe(command string, arguments []string) error {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	port := flags.Int("port", 27017, "the server's port")
	timeout := flags.Duration("timeout", 4*time.Second, "how long to wait for the answer")
	if err := flags.Parse(arguments); err != nil {
		return &refusal{"options of " + command, err.Error(), "-port, -timeout", exitUsage}
	}
	answer, err := hello(net.JoinHostPort("127.0.0.1", strconv.Itoa(*port)), *timeout)
	if err != nil {
		return err
	}
	if command == "ready" && !answer.serves() {
		return fmt.Errorf("neither primary, secondary nor arbiter: %s", answer)
	}
	return nil
}
