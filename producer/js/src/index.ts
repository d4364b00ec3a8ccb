export { BrokerUnavailable, ClipqueueError, ConfigurationError, InvalidJob } from "./errors.js";
