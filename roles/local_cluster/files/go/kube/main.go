// kube: every program of the cluster that is not Traefik or kine, in one binary. One binary means one copy of
// Kubernetes' libraries: it compiles in less than half the time of the separate programs and is a third of their size.
// The program is picked by the name of the link it was started through (kubectl, coredns, ...) or by the first argument.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
	metricsserver "sigs.k8s.io/metrics-server/cmd/metrics-server/app"

	"stackgate.local/embedded/gen/localpath"
)

// A program runs with os.Args already its own and returns its exit status.
type program func() int

func command(make func() *cobra.Command) program {
	return func() int { return cli.Run(make()) }
}

func plain(main func()) program {
	return func() int { main(); return 0 }
}

func failing(run func() error) program {
	return func() int {
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
}

var programs = map[string]program{
	"kube-apiserver":          command(apiserver.NewAPIServerCommand),
	"kube-controller-manager": command(controllermanager.NewControllerManagerCommand),
	"kube-scheduler":          command(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
	"kubelet":                 command(func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) }),
	"kube-proxy":              command(proxy.NewProxyCommand),
	"metrics-server": command(func() *cobra.Command {
		return metricsserver.NewMetricsServerCommand(genericapiserver.SetupSignalHandler())
	}),
	"kubectl":                failing(func() error { return cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()) }),
	"flanneld":               failing(flanneld),
	"netpol":                 failing(networkPolicies),
	"servicelb":              failing(serviceLoadBalancer),
	"coredns":                plain(coredns),
	"local-path-provisioner": plain(localpath.Main),
}

func main() {
	name := filepath.Base(os.Args[0])
	if _, known := programs[name]; !known && len(os.Args) > 1 {
		name, os.Args = os.Args[1], os.Args[1:]
	}
	run, known := programs[name]
	if !known {
		fmt.Fprintln(os.Stderr, "usage: kube PROGRAM [ARGUMENT...], PROGRAM one of", strings.Join(slices.Sorted(maps.Keys(programs)), " "))
		os.Exit(2)
	}
	if name != "coredns" {
		hideFlags("conf", "plugins", "pidfile", "version", "quiet", "dns.port", "p")
	}
	os.Exit(run())
}

// hideFlags takes flags out of the global set. CoreDNS puts its own there when it is linked in, and kubectl would take
// the long flag "p" for a shorthand and panic. The kubelet looks up cadvisor's flags in the same set, so those stay.
func hideFlags(names ...string) {
	all := flag.CommandLine
	flag.CommandLine = flag.NewFlagSet(os.Args[0], flag.ExitOnError)
	all.VisitAll(func(f *flag.Flag) {
		if !slices.Contains(names, f.Name) {
			flag.CommandLine.Var(f.Value, f.Name, f.Usage)
		}
	})
}
