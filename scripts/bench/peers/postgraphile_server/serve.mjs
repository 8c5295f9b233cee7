// Serves a database by PostGraphile at a Unix socket: node serve.mjs SOCKET STATEMENTS.json
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { postgraphile } from "postgraphile";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";

const [place, file] = process.argv.slice(2);
const { conninfo, role } = JSON.parse(readFileSync(file, "utf8"));
const preset = {
  extends: [PostGraphileAmberPreset],
  pgServices: [makePgService({ connectionString: conninfo, schemas: ["public"], poolConfig: { max: 10 } })],
  grafast: { context: () => ({ pgSettings: { role } }), explain: false },
  grafserv: { graphqlPath: "/graphql", graphiql: false, watch: false },
};
const server = createServer();
await postgraphile(preset).createServ(grafserv).addTo(server);
server.keepAliveTimeout = 60_000;
server.listen(place);
