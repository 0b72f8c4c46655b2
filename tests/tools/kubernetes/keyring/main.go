// Program keyring tells what the kubelet makes of pull secrets, by the kubelet's own code: the name that it
// looks for, and the user names and passwords that it shows to the registry, in its order.
//
// It reads from standard input a list of questions, each an image as a pod names it and the Secrets that the pod
// names, in their order; and writes a list of answers.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/secrets"
	"k8s.io/kubernetes/pkg/util/parsers"
)

// Tries shows all orders that the kubelet may come to: it goes through the entries of a Secret in the order of a
// Go map, which is another each time.
const tries = 100

type question struct {
	Image   string      `json:"image"`
	Secrets []v1.Secret `json:"secrets"`
}

// A login is a user name and a password, as bytes.
type login [2][]byte

type logins []login

type answer struct {
	// Image is the name that is looked for; empty where no pod can name an image so.
	Image string `json:"image"`
	// Error says why the kubelet gives up.
	Error string `json:"error,omitempty"`
	// Orders are the ways in which it may order the logins.
	Orders []logins `json:"orders,omitempty"`
}

func (l logins) equal(other logins) bool {
	return slices.EqualFunc(l, other, func(a, b login) bool {
		return bytes.Equal(a[0], b[0]) && bytes.Equal(a[1], b[1])
	})
}

func (q question) answer() answer {
	name, _, _, err := parsers.ParseImageName(q.Image)
	if err != nil {
		return answer{Error: err.Error()}
	}
	found := answer{Image: name}
	for range tries {
		keyring, err := secrets.MakeDockerKeyring(q.Secrets, credentialprovider.UnionDockerKeyring{})
		if err != nil {
			return answer{Image: name, Error: err.Error()}
		}
		configs, _ := keyring.Lookup(name)
		order := logins{}
		for _, it := range configs {
			order = append(order, login{[]byte(it.Username), []byte(it.Password)})
		}
		if !slices.ContainsFunc(found.Orders, order.equal) {
			found.Orders = append(found.Orders, order)
		}
	}
	return found
}

func run(input io.Reader, output io.Writer) error {
	var questions []question
	if err := json.NewDecoder(input).Decode(&questions); err != nil {
		return fmt.Errorf("reading questions: %w", err)
	}
	answers := make([]answer, len(questions))
	for i, it := range questions {
		answers[i] = it.answer()
	}
	return json.NewEncoder(output).Encode(answers)
}

func main() {
	// Entries that the kubelet ignores are no trouble here.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "keyring:", err)
		os.Exit(1)
	}
}
