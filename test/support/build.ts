/** Builds the executable: for this machine into dist/, or as `--target` and `--outfile` say. */

// Without the last two, whoever starts it in a folder runs what that folder's .env and bunfig.toml say.
const FLAGS =
  '--compile --minify --bytecode --format=esm --sourcemap --no-compile-autoload-dotenv --no-compile-autoload-bunfig'

const build = Bun.spawn(
  [
    process.execPath,
    'build',
    ...FLAGS.split(' '),
    'src/main.ts',
    ...['--outfile', 'dist/mcp-gateway'],
    ...process.argv.slice(2),
  ],
  { cwd: new URL('../..', import.meta.url).pathname, stdio: ['ignore', 'inherit', 'inherit'] },
)
process.exit(await build.exited)
