// Gitops-argocd runs the code of Argo CD against a RegistryAttachment: it judges recorded versions
// and the cases beside the scripts, and applies, compares and runs actions as Argo CD does.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/go-logr/logr"
	"github.com/sirupsen/logrus"
	"k8s.io/klog/v2"
)

const usage = `usage:
  gitops-argocd judge SCRIPTS RECORDINGS    health and actions of every recorded version
  gitops-argocd apply FILE client|server    syncs, as an application with or without ServerSideApply
  gitops-argocd diff FILE client|server     fails when there is anything to sync
  gitops-argocd act NAME ACTION SCRIPTS     runs an action on an attachment
SCRIPTS is the folder deploy/argocd; KUBECONFIG names the cluster.`

func main() {
	// What Argo CD logs is about itself.
	logrus.SetOutput(io.Discard)
	klog.SetLogger(logr.Discard())
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "gitops-argocd: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) < 3 {
		return fmt.Errorf("too few arguments\n%s", usage)
	}
	cluster, err := connect()
	if err != nil {
		return err
	}
	switch command, first, second := arguments[0], arguments[1], arguments[2]; command {
	case "judge":
		return judge(ctx, cluster, first, second)
	case "apply":
		return cluster.apply(ctx, first, second)
	case "diff":
		return cluster.diff(first, second)
	case "act":
		if len(arguments) == 4 {
			return cluster.act(ctx, first, second, arguments[3])
		}
	}
	return fmt.Errorf("not understood\n%s", usage)
}
