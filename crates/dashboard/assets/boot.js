// Starts the dashboard. The page is complete without it, so a failure costs live updates only, and says so.
import init from "./dashboard.js";

init(new URL("dashboard_bg.wasm", import.meta.url)).catch((reason) => {
  const freshness = document.getElementById("freshness");
  if (freshness) freshness.append(" · live updates could not start; reload to see changes");
  console.error("starting the dashboard failed:", reason);
});
