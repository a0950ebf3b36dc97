// What a workerd of one's own runs: the Worker as it is deployed to Cloudflare, and a clock, since workerd has no cron.
import Slipway from "./worker/shim.mjs";

export default Slipway;
export { DestinationAccount, Directory, PackagePromotion, ProjectRecord } from "./worker/shim.mjs";

// Whatever asks it has the Worker's scheduled event run. It is bound to a socket on loopback that only `serve.mjs` knows.
export class Clock extends Slipway {
  async fetch() {
    await this.scheduled({ cron: "", scheduledTime: Date.now() });
    return new Response(null, { status: 204 });
  }
}
