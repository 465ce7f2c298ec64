import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'

// The hub serves the built files itself. `vite` alone is for development: it
// passes the hub's routes on to HUB (default http://127.0.0.1:8080).
const hub = process.env['HUB'] ?? 'http://127.0.0.1:8080'

export default defineConfig({
  plugins: [vue()],
  define: {
    __VUE_OPTIONS_API__: 'false',
    __VUE_PROD_DEVTOOLS__: 'false',
    __VUE_I18N_FULL_INSTALL__: 'false',
    __VUE_I18N_LEGACY_API__: 'false',
    __INTLIFY_PROD_DEVTOOLS__: 'false',
  },
  build: {
    outDir: 'dist',
    assetsDir: 'assets', // viewer.go caches what lies there for good: names must carry a hash
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0, // a data: script or font would fall to the content security policy
    reportCompressedSize: false,
  },
  server: {
    proxy: {
      '/api': hub,
      '/sta': hub,
      '/stream': { target: hub, ws: true },
    },
  },
})
