// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	askEvery = 500 * time.Millisecond
	sayEvery = 10 * time.Second
)

// What the servers from 5.0 on need of a processor: AVX, or ARMv8.2, which has at least one of these.
var (
	neededFlags = map[string][]string{
		"amd64": {"avx"},
		"arm64": {"asimddp", "dcpop", "fphp", "sha3", "sha512", "sm3", "sm4", "sve"},
	}
	neededNames = map[string]string{"amd64": "AVX", "arm64": "ARMv8.2-A"}
)

// execServer prepares what the server needs and becomes it.
func execServer(arguments []string) error {
	flags := flag.NewFlagSet("exec", flag.ContinueOnError)
	name := flags.String("name", "", "the member's full name: the server starts when it resolves to an address of this pod")
	wait := flags.Duration("wait", 2*time.Minute, "how long to wait for that")
	key := flags.String("key", "", "the key file as it is mounted")
	keyCopy := flags.String("key-copy", "", "where the server reads it, for the owner alone")
	if err := flags.Parse(arguments); err != nil || flags.NArg() == 0 || (*key == "") != (*keyCopy == "") {
		seen := strings.Join(arguments, " ")
		return &refusal{"options, then the server's command", seen, "mongodb-member exec -name NAME -key FILE -key-copy FILE -- mongod ...", exitUsage}
	}
	server, err := exec.LookPath(flags.Arg(0))
	if err != nil {
		return &refusal{"the image has the server " + flags.Arg(0), err.Error(), "set mongodb_command to its path in the image", exitConfig}
	}
	if err := checkProcessor(server, runtime.GOARCH, "/proc/cpuinfo"); err != nil {
		return err
	}
	if *key != "" {
		if err := copyKey(*key, *keyCopy); err != nil {
			return err
		}
	}
	if *name != "" {
		resolver := func(ctx context.Context, name string) ([]string, error) {
			// The dot at the end: no search list, whatever the name looks like.
			return net.DefaultResolver.LookupHost(ctx, strings.TrimSuffix(name, ".")+".")
		}
		own, err := ownAddresses()
		if err != nil {
			return err
		}
		if err := waitForName(*name, own, *wait, askEvery, resolver); err != nil {
			return err
		}
	}
	return syscall.Exec(server, flags.Args(), os.Environ())
}

// copyKey copies the key file of a Secret volume, whose files are the group's too (0440), which the server refuses.
func copyKey(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return &refusal{"a key file that uid " + strconv.Itoa(os.Getuid()) + " can read", err.Error(), "mount the Secret with the key there", exitConfig}
	}
	defer source.Close()
	return writeFile(to, 0o400, source)
}

// ownAddresses are those of this pod.
func ownAddresses() ([]string, error) {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	own := []string{}
	for _, address := range found {
		if network, ok := address.(*net.IPNet); ok && !network.IP.IsLoopback() {
			own = append(own, network.IP.String())
		}
	}
	return own, nil
}

// waitForName returns when the name resolves to one of the own addresses. A server that starts before that does not find itself in the
// set's configuration; when all do, they stay REMOVED until they are restarted.
func waitForName(name string, own []string, limit, every time.Duration, resolve func(context.Context, string) ([]string, error)) error {
	began, said := time.Now(), time.Now()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		found, err := resolve(ctx, name)
		cancel()
		if slices.ContainsFunc(found, func(address string) bool { return slices.Contains(own, address) }) {
			return nil
		}
		seen := "it resolves to " + strings.Join(found, ", ")
		var unresolved *net.DNSError
		if errors.As(err, &unresolved) {
			seen = unresolved.Err
			if unresolved.Server != "" {
				seen += " (asked " + unresolved.Server + ")"
			}
		} else if err != nil {
			seen = err.Error()
		}
		waited := time.Since(began).Round(time.Second)
		if time.Since(began) >= limit {
			return &refusal{
				fmt.Sprintf("the name %s resolves to this pod, %s", name, strings.Join(own, " or ")),
				fmt.Sprintf("%s, for %s", seen, waited),
				"look at the cluster's DNS and at the headless Service, which must publish addresses that are not ready",
				exitWaiting,
			}
		}
		if time.Since(said) >= sayEvery {
			said = time.Now()
			fmt.Fprintf(os.Stderr, "mongodb-member: waiting for the name %s (%s so far): %s\n", name, waited, seen)
		}
		time.Sleep(every)
	}
}

// checkProcessor refuses a server that this processor cannot run: from 5.0 on it would die of an illegal instruction, without a word.
// A processor that has what is needed runs anything; one that has not is asked what the server's version is.
func checkProcessor(server, architecture, cpuinfo string) error {
	needed, known := neededFlags[architecture]
	content, err := os.ReadFile(cpuinfo)
	if !known || err != nil {
		return nil // nothing is known about it
	}
	if flags := processorFlags(string(content)); len(flags) == 0 || slices.ContainsFunc(needed, func(flag string) bool { return flags[flag] }) {
		return nil
	}
	output, err := exec.Command(server, "--version").Output()
	died := false
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		status, ok := ended.Sys().(syscall.WaitStatus)
		died = ok && status.Signaled() && status.Signal() == syscall.SIGILL
	}
	version := regexp.MustCompile(`db version v([0-9]+)[0-9.]*`).FindStringSubmatch(string(output))
	major := 0
	if version != nil {
		major, _ = strconv.Atoi(version[1])
	}
	if !died && major < 5 {
		return nil
	}
	seen := "it has not"
	if version != nil {
		seen += ", and the server is " + version[0]
	}
	return &refusal{
		"a processor with " + neededNames[architecture] + ", which MongoDB needs from 5.0 on",
		seen,
		"run the pod on a node that has it (the virtual machine's processor type may hide it), or take MongoDB 4.4",
		exitConfig,
	}
}

// processorFlags are the words of the first line of /proc/cpuinfo that lists them.
func processorFlags(cpuinfo string) map[string]bool {
	flags := map[string]bool{}
	for _, line := range strings.Split(cpuinfo, "\n") {
		name, value, _ := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); name == "flags" || name == "Features" {
			for _, word := range strings.Fields(value) {
				flags[word] = true
			}
			break
		}
	}
	return flags
}
