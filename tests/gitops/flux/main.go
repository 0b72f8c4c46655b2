// Gitops-flux runs the code of Flux against a RegistryAttachment: it judges recorded versions, and
// applies, waits and deletes as kustomize-controller does.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"
)

const usage = `usage:
  gitops-flux judge RECORDINGS [NAME=STATUS,STATUS... | --never=STATUS | --whole]...
  gitops-flux apply FILE TIMEOUT        applies, and waits until all is Current; 0s does not wait
  gitops-flux reapply FILE ROUNDS       applies again and again, by two appliers
  gitops-flux delete FILE TIMEOUT       deletes, and waits until all is gone; 0s does not wait
  gitops-flux check FILE                reads objects of Flux as strictly as Flux's types are
KUBECONFIG names the cluster.`

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "gitops-flux: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) < 2 {
		return fmt.Errorf("too few arguments\n%s", usage)
	}
	command, path, rest := arguments[0], arguments[1], arguments[2:]
	switch command {
	case "judge":
		return judge(ctx, path, rest)
	case "check":
		return checkExamples(path)
	}
	if len(rest) != 1 {
		return fmt.Errorf("%s takes two arguments\n%s", command, usage)
	}
	objects, err := manifests(path)
	if err != nil {
		return err
	}
	if command == "reapply" {
		rounds, err := strconv.Atoi(rest[0])
		if err != nil {
			return fmt.Errorf("ROUNDS is a number: %w", err)
		}
		return reapply(ctx, objects, rounds)
	}
	timeout, err := time.ParseDuration(rest[0])
	if err != nil {
		return fmt.Errorf("TIMEOUT is a duration such as 60s: %w", err)
	}
	switch command {
	case "apply":
		return applyAndWait(ctx, objects, timeout)
	case "delete":
		return deleteAndWait(ctx, objects, timeout)
	}
	return fmt.Errorf("unknown command %s\n%s", command, usage)
}
