// Command controlplane runs a real Kubernetes API server for a test or the demo, and leaves nothing behind. Linux only.
//
//	controlplane [--logs DIR] [--audit-log FILE] [-- MORE API SERVER FLAGS]
//
// When the API server is ready, one line of JSON on stdout says how to reach it (type ready). Then lines on stdin are
// commands, each answered by one line of JSON on stdout:
//
//	restart-apiserver    stops the API server, starts it again on the same port and data, answers {"restarted":true}
//
// It ends when stdin closes or on SIGINT, SIGTERM or SIGHUP, and removes its directory. A parent therefore holds a pipe to
// its stdin: however the parent ends, the pipe closes. When this program is killed its children are killed too, only the
// directory stays. When etcd or the API server ends by itself, it says why and exits with 1.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// options is the command line.
type options struct {
	logs     string   // directory for the logs of etcd and the API server; empty: inside the temporary directory
	auditLog string   // file for one line of JSON for each request to the API server; empty: none
	flags    []string // more flags for the API server
}

// ready is the first line on stdout.
type ready struct {
	Kubeconfig string `json:"kubeconfig"` // of an administrator (group system:masters)
	Server     string `json:"server"`
	Kubectl    string `json:"kubectl"` // the kubectl of the API server's version
	Dir        string `json:"dir"`     // removed at the end, with whatever was put there
	Logs       string `json:"logs"`
}

func init() {
	// Children are started on this thread only, see startChild.
	runtime.LockOSThread()
}

func main() {
	options, err := parseOptions(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(2)
	}
	if err := run(options); err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("controlplane", flag.ExitOnError)
	flags.StringVar(&o.logs, "logs", "", "keep the logs of etcd and the API server in this `directory`")
	flags.StringVar(&o.auditLog, "audit-log", "", "write one line of JSON for each request to this `file`")
	flags.Parse(args)
	o.flags = flags.Args()
	if len(o.flags) > 0 && !strings.HasPrefix(o.flags[0], "-") {
		return o, fmt.Errorf("unexpected argument %q: only flags of the API server may follow, after --", o.flags[0])
	}
	return o, nil
}

// run returns nil when it was told to stop, and the reason when it could not go on.
func run(o options) error {
	// A parent that is gone no longer reads: the write must fail and be cleaned up after, not kill us.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ctx, stopAtEOF := context.WithCancel(ctx)
	defer stop()

	// Buffered so that the end of stdin is seen while a command is carried out.
	commands := make(chan string, 16)
	go readCommands(os.Stdin, commands, stopAtEOF)

	bin, err := findBinaries()
	if err != nil {
		return err
	}
	p, err := newControlPlane(o, bin)
	if err != nil {
		return err
	}
	err = serve(ctx, p, commands)
	if ctx.Err() != nil {
		err = nil // told to stop: what failed because of it is no news
	}
	return errors.Join(err, p.stop())
}

// serve starts the control plane and obeys commands until ctx ends or something fails.
func serve(ctx context.Context, p *controlPlane, commands <-chan string) error {
	if err := p.start(ctx); err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(p.ready()); err != nil {
		return err
	}
	for {
		var answer any
		select {
		case <-ctx.Done():
			return nil
		case <-p.etcd.done:
			return p.etcd.failure()
		case <-p.apiServer.done:
			return p.apiServer.failure()
		case command := <-commands:
			if command != "restart-apiserver" {
				answer = map[string]string{"error": fmt.Sprintf("unknown command %q: known is restart-apiserver", command)}
				break
			}
			if err := p.restartAPIServer(ctx); err != nil {
				return err
			}
			answer = map[string]bool{"restarted": true}
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
}

func readCommands(in io.Reader, commands chan<- string, eof func()) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		commands <- lines.Text()
	}
	eof()
}

// findBinaries returns the directory of kube-apiserver, etcd and kubectl.
func findBinaries() (string, error) {
	dir := os.Getenv("KUBEBUILDER_ASSETS")
	hint := "KUBEBUILDER_ASSETS names this directory: put it there, or unset the variable and run tests/controlplane/build"
	if dir == "" {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		dir = filepath.Dir(self)
		hint = "run tests/controlplane/build"
	}
	for _, program := range []string{"kube-apiserver", "etcd", "kubectl"} {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
			return "", fmt.Errorf("no %s in %s: %s", program, dir, hint)
		}
	}
	return filepath.Abs(dir)
}
