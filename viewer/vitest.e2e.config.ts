import { defineConfig } from 'vitest/config'

// Vitest overwrites BASE_URL with Vite's own of the same name: pass it on by another.
const hub = process.env['BASE_URL'] ?? ''

// One browser, one page after another: the machine's cores belong to the hub under test.
export default defineConfig({
  test: { include: ['e2e/**/*.test.ts'], environment: 'node', fileParallelism: false, testTimeout: 90_000, hookTimeout: 90_000, env: { HUB_URL: hub } },
})
