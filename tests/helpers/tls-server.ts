/**
 * A PostgreSQL on 127.0.0.1 that encrypts, with certificates made by the openssl command, and one
 * that does not. Nothing of either is left behind after `endTlsServers`.
 */
import { appendFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { prepareCluster } from '../../src/database/cluster.ts';
import { asServer, findBinaries, giveToServer, run } from '../../src/database/postgres-binaries.ts';
import type { ServerAddress } from '../../src/server-address.ts';
import type { ServerTls } from '../../src/server-tls.ts';
import { temporaryFolder } from './database.ts';
import { freePort, removeData, until } from './service.ts';

const STOP_MS = 20_000;

let ends: (() => Promise<unknown>)[] = [];

/** To be called after each file that starts such servers. */
export async function endTlsServers(): Promise<void> {
  for (const end of ends.reverse()) await end();
  ends = [];
}

/** Makes certificates in a folder of their own. */
export class TestCa {
  readonly #folder: string;
  /** The file that a client is told to trust. */
  readonly file: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.file = join(folder, 'ca.crt');
  }

  static async make(): Promise<TestCa> {
    const folder = await temporaryFolder();
    ends.push(() => rm(folder, { recursive: true, force: true }));
    const ca = new TestCa(folder);
    await ca.#request('ca', '/CN=wallet test CA');
    return ca;
  }

  text(): Promise<string> {
    return Bun.file(this.file).text();
  }

  /** @param names such as `DNS:localhost,IP:127.0.0.1` */
  async sign(names: string): Promise<{ certificate: string; key: string }> {
    const name = crypto.randomUUID();
    const signer = ['-CA', this.file, '-CAkey', join(this.#folder, 'ca.key')];
    const extensions = [`subjectAltName=${names}`, 'basicConstraints=critical,CA:false'];
    const added = extensions.flatMap((extension) => ['-addext', extension]);
    await this.#request(name, '/CN=wallet-test', ...signer, ...added);
    const path = join(this.#folder, name);
    return { certificate: `${path}.crt`, key: `${path}.key` };
  }

  async #request(name: string, subject: string, ...more: string[]): Promise<void> {
    const files = ['-keyout', join(this.#folder, `${name}.key`)];
    files.push('-out', join(this.#folder, `${name}.crt`));
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const form = ['-x509', '-days', '2', '-subj', subject];
    await run(['openssl', 'req', ...form, ...kind, ...files, ...more]);
  }
}

/** One cluster, of which the server can be stopped and started again on its port. */
export class TlsServer {
  readonly port = freePort();
  readonly #directory: string;
  readonly #postgres: string;
  #process: Bun.Subprocess | undefined;
  #log = '';

  private constructor(directory: string, postgres: string) {
    this.#directory = directory;
    this.#postgres = postgres;
  }

  /** @param pair without it the server does not encrypt. */
  static async make(pair?: { certificate: string; key: string }): Promise<TlsServer> {
    const folder = await temporaryFolder();
    const binaries = await findBinaries();
    const { directory } = await prepareCluster(folder, binaries);
    const server = new TlsServer(directory, binaries.postgres);
    ends.push(async () => {
      await server.stop();
      await removeData(folder);
    });
    if (pair) await server.use(pair);
    await server.start();
    return server;
  }

  /** Takes effect at the next start. */
  async use({ certificate, key }: { certificate: string; key: string }): Promise<void> {
    const [target, targetKey] = ['server.crt', 'server.key'].map((n) => join(this.#directory, n));
    await run(['cp', certificate, `${target}`]);
    await run(['cp', key, `${targetKey}`]);
    await run(['chmod', '600', `${targetKey}`]);
    await appendFile(join(this.#directory, 'postgresql.conf'), '\nssl = on\n');
    await giveToServer(this.#directory);
  }

  async start(): Promise<void> {
    const settings = { listen_addresses: '127.0.0.1', port: this.port, log_connections: 'all' };
    const words = Object.entries({ ...settings, unix_socket_directories: '' });
    const options = words.flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    this.#log = '';
    const server = Bun.spawn(asServer(this.#postgres, '-D', this.#directory, ...options), {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#process = server;
    const collect = async () => {
      for await (const chunk of server.stderr) this.#log += Buffer.from(chunk).toString();
    };
    collect().catch(() => {});
    await until(() => this.#log.includes('ready to accept'), 'a server with TLS', STOP_MS);
  }

  async stop(): Promise<void> {
    this.#process?.kill('SIGINT');
    await this.#process?.exited;
  }

  /** What it wrote since its start. */
  get log(): string {
    return this.#log;
  }

  address(host: string, tls?: ServerTls): ServerAddress {
    const where = { host, port: this.port, user: 'wallet', password: '', name: 'wallet' };
    return tls ? { ...where, tls } : where;
  }
}
