// What somebody does with the types that were generated from openapi.yml.
import type { operations } from "./generated";

type Json<Id extends keyof operations> = operations[Id] extends {
  requestBody: { content: { "application/json": infer Body } };
}
  ? Body
  : never;
type Answer<Id extends keyof operations> = operations[Id] extends {
  responses: { 200: { content: { "application/json": infer Body } } };
}
  ? Body
  : never;

const alert: Json<"detection_alert_create"> = { name: "x", severity: "High" };
// @ts-expect-error - an alert has a name
const nameless: Json<"detection_alert_create"> = { severity: "High" };
const pause: Json<"event_sink_update"> = { enabled: false };

export async function send(url: string, key: string): Promise<string> {
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  const answer = await fetch(`${url}/v1/detection_alert`, { method: "POST", headers, body: JSON.stringify(alert) });
  const told = (await answer.json()) as Answer<"detection_alert_create">;
  return "detection_alert" in told ? told.detection_alert.id : String(told.data.accepted);
}

export function count(page: Answer<"delivery_list">): number {
  return page.data.deliveries.filter((one) => one.state === "failed" && one.tries > 3).length;
}

export { nameless, pause };
