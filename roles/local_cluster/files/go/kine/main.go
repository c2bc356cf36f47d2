// kine: the API server's store. It speaks etcd's protocol on a socket and keeps everything in one SQLite file, as k3s
// does by default. Only the SQLite driver is compiled in; it is the one program here that needs cgo.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/k3s-io/kine/pkg/drivers"
	"github.com/k3s-io/kine/pkg/drivers/sqlite"
	"github.com/k3s-io/kine/pkg/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const (
	// What kine reports as etcd's version: the API server asks for it before it uses newer etcd features.
	emulatedVersion = "3.6.4"
	// How often a watcher that has seen nothing is told that it is up to date.
	progressInterval = 5 * time.Second
	// The largest object the API server may send: etcd's own default with room for the envelope.
	maxRequestBytes = 2 << 20
)

func main() {
	// The names and forms of upstream's own flags, so that its program can stand in for this one.
	endpoint := flag.String("endpoint", "sqlite:///var/lib/kine/state.db", "store, sqlite://FILE")
	address := flag.String("listen-address", "unix:///run/kine.sock", "Unix socket to listen on, unix://FILE")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, strings.TrimPrefix(*endpoint, "sqlite://"), strings.TrimPrefix(*address, "unix://")); err != nil {
		fmt.Fprintln(os.Stderr, "kine:", err)
		os.Exit(1)
	}
}

// serve answers on the socket until ctx ends, then waits for the last write.
func serve(ctx context.Context, database, socket string) error {
	var writers sync.WaitGroup
	defer writers.Wait()
	_, backend, err := sqlite.New(ctx, &writers, &drivers.Config{
		DataSourceName:   database + "?" + sqlite.DefaultParams,
		CompactInterval:  5 * time.Minute,
		CompactTimeout:   5 * time.Second,
		CompactMinRetain: 1000,
		CompactBatchSize: 1000,
		PollBatchSize:    500,
	})
	if err != nil {
		return fmt.Errorf("open %s: %w", database, err)
	}
	if err := backend.Start(ctx); err != nil {
		return fmt.Errorf("start on %s: %w", database, err)
	}
	_ = os.Remove(socket) // left by a life that ended with a power cut
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	answer := grpc.NewServer(
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 2 * time.Hour, Timeout: 20 * time.Second}),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxSendMsgSize(1<<31-1),
	)
	server.New(backend, "unix", progressInterval, emulatedVersion).Register(answer)
	context.AfterFunc(ctx, answer.Stop)
	fmt.Printf("kine: %s on %s\n", database, socket)
	return answer.Serve(listener)
}
