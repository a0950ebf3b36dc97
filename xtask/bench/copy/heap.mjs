// `node heap.mjs PORT URL`: what the isolate behind workerd's inspector holds after a collection, as one line of JSON.
const [port, url] = process.argv.slice(2);
setTimeout(() => {
  console.error("workerd's inspector does not answer");
  process.exit(1);
}, 30_000);
const [target] = await (await fetch(`http://127.0.0.1:${port}/json`)).json();
const socket = new WebSocket(target.webSocketDebuggerUrl);
await new Promise((resolve, reject) => {
  socket.onopen = resolve;
  socket.onerror = () => reject(new Error("workerd's inspector refuses the connection"));
});

let last = 0;
const waiting = new Map();
socket.onmessage = ({ data }) => {
  const { id, result, error } = JSON.parse(data);
  const answer = waiting.get(id);
  waiting.delete(id);
  if (error !== undefined) answer?.reject(new Error(error.message));
  else answer?.resolve(result);
};

function ask(method) {
  last += 1;
  socket.send(JSON.stringify({ id: last, method }));
  return new Promise((resolve, reject) => waiting.set(last, { resolve, reject }));
}

// An idle isolate does not collect by itself: requests wake it. What the first collection lets go may hold more.
for (let time = 0; time < 2; time += 1) {
  let collected = false;
  const collecting = ask("HeapProfiler.collectGarbage").then(() => {
    collected = true;
  });
  // One request may be over before workerd has heard of the collection.
  while (!collected) await (await fetch(url)).text();
  await collecting;
}
console.log(JSON.stringify(await ask("Runtime.getHeapUsage")));
// workerd does not answer the end of the conversation.
process.exit();
