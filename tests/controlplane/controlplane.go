package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// A child starts within seconds; the bound is for a machine that compiles at the same time.
	startBound = 2 * time.Minute
	// Bytes, unix(7): sun_path has 108 with the terminating zero.
	maxSocketPath = 107
)

// controlPlane is an etcd and an API server over one temporary directory.
type controlPlane struct {
	options
	*credentials
	bin  string // directory of the programs
	dir  string // everything that is written
	port int    // of the API server, reserved until stop

	etcd, apiServer *child
}

func newControlPlane(o options, bin string) (*controlPlane, error) {
	dir, err := os.MkdirTemp("", "controlplane-")
	if err != nil {
		return nil, err
	}
	return &controlPlane{options: o, bin: bin, dir: dir}, nil
}

func (p *controlPlane) start(ctx context.Context) error {
	if err := p.prepare(); err != nil {
		return err
	}
	if err := p.startEtcd(ctx); err != nil {
		return err
	}
	return p.startAPIServer(ctx)
}

// prepare does everything that comes before the processes.
func (p *controlPlane) prepare() (err error) {
	if p.logs == "" {
		p.logs = filepath.Join(p.dir, "logs")
	}
	if p.logs, err = filepath.Abs(p.logs); err != nil {
		return err
	}
	if err = os.MkdirAll(p.logs, 0o700); err != nil {
		return err
	}
	if p.port, err = reservePort(); err != nil {
		return fmt.Errorf("cannot reserve a port: %w", err)
	}
	if p.credentials, err = newCredentials(p.dir); err != nil {
		return err
	}
	return writeFile(p.kubeconfigPath(), p.kubeconfig(p.server()))
}

// reservePort returns a free port of 127.0.0.1 that is given to nobody else while we live. The socket is bound but never
// listens: with SO_REUSEADDR, which Go sets on every listener, the API server can listen on the port all the same, again
// and again. A port that was merely seen to be free may be another's before the API server has it, or has it back.
func reservePort() (int, error) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	address, err := syscall.Getsockname(socket)
	if err != nil {
		return 0, err
	}
	return address.(*syscall.SockaddrInet4).Port, nil
}

// stop ends the processes and removes the directory. It works on what is there, however far start came.
func (p *controlPlane) stop() error {
	var errs []error
	for _, c := range []*child{p.apiServer, p.etcd} {
		if c != nil {
			errs = append(errs, c.stop())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(p.dir))...)
}

func (p *controlPlane) restartAPIServer(ctx context.Context) error {
	if err := p.apiServer.stop(); err != nil {
		return err
	}
	return p.startAPIServer(ctx)
}

// startEtcd starts etcd on sockets in the directory: no port to lose, and no other user can reach it.
func (p *controlPlane) startEtcd(ctx context.Context) (err error) {
	peerSocket := filepath.Join(p.dir, "etcd-peer.sock")
	if len(peerSocket) > maxSocketPath {
		return fmt.Errorf("%s is too long for the path of a socket: set TMPDIR to a shorter directory", peerSocket)
	}
	peer := "unix://" + peerSocket
	p.etcd, err = startChild(filepath.Join(p.bin, "etcd"), "etcd", filepath.Join(p.logs, "etcd.log"),
		"--data-dir="+filepath.Join(p.dir, "etcd"),
		"--listen-client-urls=unix://"+p.etcdSocket(),
		"--advertise-client-urls=unix://"+p.etcdSocket(),
		"--listen-peer-urls="+peer,
		"--initial-advertise-peer-urls="+peer,
		"--initial-cluster=default="+peer,
		"--unsafe-no-fsync", // the data need not survive the machine
	)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", p.etcdSocket())
		},
	}}
	return p.waitReady(ctx, p.etcd, func(ctx context.Context) error {
		return get(ctx, client, "http://etcd/health", "")
	})
}

func (p *controlPlane) startAPIServer(ctx context.Context) error {
	args, err := p.apiServerArgs()
	if err != nil {
		return err
	}
	log := filepath.Join(p.logs, "kube-apiserver.log")
	p.apiServer, err = startChild(filepath.Join(p.bin, "kube-apiserver"), "kube-apiserver", log, args...)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(p.ca)
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots},
	}}
	return p.waitReady(ctx, p.apiServer, func(ctx context.Context) error {
		// The namespace comes a moment after /readyz the first time, and tests use it.
		return errors.Join(
			get(ctx, client, p.server()+"/readyz", p.token),
			get(ctx, client, p.server()+"/api/v1/namespaces/default", p.token),
		)
	})
}

// waitReady returns when the child's probe succeeds, or why it will not.
func (p *controlPlane) waitReady(ctx context.Context, c *child, probe func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.done:
			return c.failure()
		case <-p.etcd.done: // without it the API server would try on and then blame itself
			return p.etcd.failure()
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; the end of its log:\n%s", c.name, err, c.logTail())
		case <-tick.C:
		}
	}
}

// apiServerArgs changes as little as it can: what the tests meet is what a cluster does.
func (p *controlPlane) apiServerArgs() ([]string, error) {
	args := []string{
		"--etcd-servers=unix://" + p.etcdSocket(),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", p.port),
		"--tls-cert-file=" + p.serverCert,
		"--tls-private-key-file=" + p.serverKey,
		"--token-auth-file=" + p.tokens,
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + p.serviceAccountKey,
		"--service-account-signing-key-file=" + p.serviceAccountKey,
		"--service-cluster-ip-range=10.0.0.0/24",
		// A machine without a network has no other address, and a loopback address is refused as an endpoint.
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none",
		// By default open watches hold up the end for a minute.
		"--shutdown-watch-termination-grace-period=1s",
	}
	if p.auditLog != "" {
		policy := filepath.Join(p.dir, "audit-policy.yaml")
		err := writeFile(policy, `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
`)
		if err != nil {
			return nil, err
		}
		// In MB. The default of 100 would move older lines to another file, out of sight of whoever counts them.
		args = append(args, "--audit-policy-file="+policy, "--audit-log-path="+p.auditLog, "--audit-log-maxsize=100000")
	}
	return append(args, p.flags...), nil
}

func (p *controlPlane) ready() ready {
	return ready{
		Kubeconfig: p.kubeconfigPath(),
		Server:     p.server(),
		Kubectl:    filepath.Join(p.bin, "kubectl"),
		Dir:        p.dir,
		Logs:       p.logs,
	}
}

func (p *controlPlane) server() string         { return fmt.Sprintf("https://127.0.0.1:%d", p.port) }
func (p *controlPlane) kubeconfigPath() string { return filepath.Join(p.dir, "kubeconfig") }
func (p *controlPlane) etcdSocket() string     { return filepath.Join(p.dir, "etcd.sock") }

// get returns nil when the answer is 200.
func get(ctx context.Context, client *http.Client, url, token string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}
