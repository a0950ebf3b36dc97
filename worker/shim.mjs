// The Worker's entry module: hands events to the wasm, and keeps serving after a panic.
//
// A panic aborts the whole wasm instance. wasm-bindgen's glue notices and makes a fresh one before the next call. Two
// things it cannot do are done here. Calls that were under way in the old instance would never be answered: they fail
// at once. Durable Objects that lived in it are made again, from the same state and environment: nothing is lost, since
// what they know is in SQL.
import "./config.mjs";
import "./assets.mjs";
import * as glue from "./index.js";
import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";

// What the `worker` crate tells about its instance: a number that grows with each, and whether it panicked.
const state = glue.__worker_init_state();
let latest = state.instanceId;
const underWay = new Set();

function failAllUnderWay() {
  const error = new Error("the Worker's wasm stopped while it worked on this request");
  for (const reject of underWay) reject(error);
  underWay.clear();
}

// The crate's panic hook sets this property.
Object.defineProperty(state, "criticalError", {
  get: () => false,
  set(panicked) {
    if (panicked) failAllUnderWay();
  },
});

// The number of the instance that will answer the next call: every call replaces an aborted instance first, so this
// one does. An instance can also end without a panic, for one by running out of memory; that shows here.
function instance() {
  const { instanceId } = glue.__worker_init_state();
  if (instanceId !== latest) {
    latest = instanceId;
    failAllUnderWay();
  }
  return instanceId;
}

async function answer(call) {
  let reject;
  const stopped = new Promise((_, failed) => {
    reject = failed;
  });
  underWay.add(reject);
  try {
    return await Promise.race([call(), stopped]);
  } finally {
    underWay.delete(reject);
  }
}

export default class extends WorkerEntrypoint {
  fetch(request) {
    instance();
    return answer(() => glue.fetch(request, this.env, this.ctx));
  }

  scheduled(event) {
    instance();
    return answer(() => glue.scheduled(event, this.env, this.ctx));
  }
}

const events = ["fetch", "alarm", "webSocketMessage", "webSocketClose", "webSocketError"];

function durable(name) {
  const Rust = glue[name];
  if (Rust === undefined) throw new Error(`the Worker's wasm has no Durable Object \`${name}\``);

  class Host extends DurableObject {
    #object;
    #madeBy;

    current() {
      const now = instance();
      if (this.#object === undefined || this.#madeBy !== now) {
        this.#object = new Rust(this.ctx, this.env);
        this.#madeBy = now;
      }
      return this.#object;
    }
  }
  // Only the events that the Rust class handles: workerd refuses, for one, an alarm for an object without the method.
  for (const event of events) {
    if (event in Rust.prototype) {
      Host.prototype[event] = function (...details) {
        const object = this.current();
        return answer(() => object[event](...details));
      };
    }
  }
  return Host;
}

export class ProjectRecord extends durable("ProjectRecord") {}
export class PackagePromotion extends durable("PackagePromotion") {}
export class DestinationAccount extends durable("DestinationAccount") {}
export class Directory extends durable("Directory") {}
