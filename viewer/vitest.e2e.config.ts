import { defineConfig } from 'vitest/config'

// One browser, one page after another: the machine's cores belong to the hub under test.
export default defineConfig({
  test: { include: ['e2e/**/*.test.ts'], environment: 'node', fileParallelism: false, testTimeout: 90_000, hookTimeout: 90_000 },
})
