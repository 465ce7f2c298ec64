/** The command that publishes a first reading to the hub at a host, for a POSIX shell. */
export function publishCommand(hostname: string): string {
  return `mosquitto_pub -h ${hostname} -p 1883 -q 1 -t terminals/gusu-air-01/up/json -m '{"pm25": 12.3}'`
}
