// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// document makes BSON of fields that are written out.
func document(fields string) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(fields)+5)), fields+"\x00"...)
}

// server answers one hello with a document and gives its address.
func server(t *testing.T, reply []byte) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		io.ReadFull(connection, make([]byte, len(question())))
		message := make([]byte, headerSize+5)
		binary.LittleEndian.PutUint32(message, uint32(len(message)+len(reply)))
		binary.LittleEndian.PutUint32(message[12:], opMsg)
		connection.Write(append(message, reply...))
	}()
	return listener.Addr().String()
}

func TestReadiness(t *testing.T) {
	// Every kind of value that a hello holds stands before the field that decides.
	before := "\x03topologyVersion\x00" + string(document("\x07processId\x00123456789012\x12counter\x0012345678")) +
		"\x04hosts\x00" + string(document("\x020\x00\x04\x00\x00\x00a:1\x00")) + "\x02setName\x00\x04\x00\x00\x00rs0\x00" +
		"\x09localTime\x0012345678\x10connectionId\x00\x01\x00\x00\x00\x05hash\x00\x02\x00\x00\x00\x00xx\x01ok\x0012345678\x0anothing\x00"
	for name, one := range map[string]struct {
		fields string
		ready  bool
	}{
		"primary":          {"\x08isWritablePrimary\x00\x01\x08secondary\x00\x00", true},
		"secondary":        {"\x08isWritablePrimary\x00\x00\x08secondary\x00\x01", true},
		"arbiter":          {"\x08isWritablePrimary\x00\x00\x08secondary\x00\x00\x08arbiterOnly\x00\x01", true},
		"initial sync":     {"\x08isWritablePrimary\x00\x00\x08secondary\x00\x00", false},
		"shutting down":    {"\x10code\x00\x5b\x00\x00\x00\x02codeName\x00\x03\x00\x00\x00ab\x00", false},
		"not of this form": {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			said, err := hello(server(t, document(before+one.fields)), time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if said.serves() != one.ready || said["setName"] != "rs0" {
				t.Errorf("ready is %v, seen %v of %v", one.ready, said.serves(), said)
			}
		})
	}
}

func TestWhatIsNoServer(t *testing.T) {
	for name, reply := range map[string]string{
		"nothing":          "",
		"too short":        "\xff\x00\x00\x00\x00",
		"no end of a name": string(document("\x08secondary")),
		"a huge string":    string(document("\x02me\x00\xff\xff\xff\x7fx\x00")),
		"an unknown kind":  string(document("\x55me\x00")),
	} {
		if _, err := hello(server(t, []byte(reply)), time.Second); err == nil {
			t.Errorf("%s: an error expected", name)
		}
	}
	if _, err := hello("127.0.0.1:1", time.Second); err == nil {
		t.Error("nobody listens: an error expected")
	}
}

func TestTheKeyIsForTheOwnerAlone(t *testing.T) {
	directory := t.TempDir()
	from, to := filepath.Join(directory, "mounted"), filepath.Join(directory, "key")
	for _, content := range []string{"first", "second"} { // a container that is restarted finds the copy there
		if err := os.WriteFile(from, []byte(content), 0o440); err != nil {
			os.Remove(from)
			os.WriteFile(from, []byte(content), 0o440)
		}
		if err := copyKey(from, to); err != nil {
			t.Fatal(err)
		}
		copied, _ := os.ReadFile(to)
		found, _ := os.Stat(to)
		if string(copied) != content || found.Mode() != 0o400 {
			t.Errorf("%s with mode 0400 expected, seen %s with %v", content, copied, found.Mode())
		}
		os.Remove(from)
	}
	var known *refusal
	if err := copyKey(from, to); !errors.As(err, &known) || known.status != exitConfig {
		t.Errorf("a refusal expected, seen %v", err)
	}
}

func TestTheNameIsWaitedFor(t *testing.T) {
	asked := 0
	resolve := func(_ context.Context, name string) ([]string, error) {
		asked++
		switch asked {
		case 1:
			return nil, &net.DNSError{Err: "no such host", Name: name, Server: "10.43.0.10:53"}
		case 2:
			return []string{"10.42.0.9"}, nil // of the pod that was here before
		}
		return []string{"10.42.0.10"}, nil
	}
	if err := waitForName("a.b", []string{"10.42.0.10"}, time.Minute, time.Millisecond, resolve); err != nil || asked != 3 {
		t.Errorf("found at the third question expected, seen %v after %d", err, asked)
	}
	never := func(context.Context, string) ([]string, error) { return []string{"10.42.0.9"}, nil }
	err := waitForName("a.b", []string{"10.42.0.10"}, 5*time.Millisecond, time.Millisecond, never)
	var known *refusal
	if !errors.As(err, &known) || known.status != exitWaiting || !strings.Contains(err.Error(), "a.b") || !strings.Contains(err.Error(), "10.42.0.9") {
		t.Errorf("an end that names both expected, seen %v", err)
	}
}

func TestTheProcessor(t *testing.T) {
	directory := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	with := write("with", "processor\t: 0\nflags\t\t: fpu sse4_2 avx avx2\n")
	without := write("without", "processor\t: 0\nflags\t\t: fpu sse4_2\n")
	old := write("old", "#!/bin/sh\necho db version v4.4.29\n")
	new := write("new", "#!/bin/sh\necho db version v7.0.14\n")
	dies := write("dies", "#!/bin/sh\nkill -ILL $$\n")
	for name, one := range map[string]struct {
		server, cpuinfo string
		refused         bool
	}{
		"all there":                {dies, with, false},
		"an old server":            {old, without, false},
		"a new server":             {new, without, true},
		"a server that dies of it": {dies, without, true},
		"nothing known":            {new, filepath.Join(directory, "none"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := checkProcessor(one.server, "amd64", one.cpuinfo); (err != nil) != one.refused {
				t.Errorf("refused is %v, seen %v", one.refused, err)
			}
		})
	}
	if err := checkProcessor(new, "riscv64", without); err != nil {
		t.Error(err)
	}
}

func TestInstall(t *testing.T) {
	directory := t.TempDir()
	for range 2 { // an init container may run twice
		if err := run([]string{"install", directory}); err != nil {
			t.Fatal(err)
		}
	}
	found, err := os.Stat(filepath.Join(directory, "mongodb-member"))
	if err != nil || found.Mode() != 0o555 {
		t.Errorf("a program expected, seen %v %v", found, err)
	}
}

func TestWrongCommands(t *testing.T) {
	for _, arguments := range [][]string{{}, {"start"}, {"exec"}, {"exec", "-key", "x", "--", "true"}, {"live", "-x"}, {"install"}} {
		var known *refusal
		if err := run(arguments); !errors.As(err, &known) || known.status != exitUsage {
			t.Errorf("%v: a refusal expected, seen %v", arguments, err)
		}
	}
	var known *refusal
	if err := run([]string{"exec", "--", "/no/server"}); !errors.As(err, &known) || known.status != exitConfig {
		t.Errorf("a refusal expected, seen %v", err)
	}
}
