import { createApp } from 'vue'
import { i18n } from './i18n'
import Live from './pages/Live.vue'
import './styles/tokens.css'
import './styles/base.css'

createApp(Live).use(i18n).mount('#app')
