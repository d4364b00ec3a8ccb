export { ClipqueueApi } from "./api/client.js";
export type { ImageId } from "./api/ids.js";
export type { CallOptions, EmbedOptions, EnqueueImageOptions, StateOptions, WaitOptions } from "./api/options.js";
export type { ApiEnv, ApiOptions, ConnectionOptions, Fetch } from "./api/settings.js";
export type {
  DoneImage,
  EnqueuedImage,
  FailedImage,
  Hit,
  ImageBytes,
  ImageFailure,
  ImageRef,
  ImageSource,
  ImageState,
  ImageWithId,
  LiveModel,
  NotLike,
  PendingImage,
  SearchPage,
  SearchRequest,
  SearchWeights,
  UploadedImage,
} from "./api/types.js";
export {
  ApiError,
  type ApiFailure,
  ApiUnavailable,
  BrokerUnavailable,
  ClipqueueError,
  ConfigurationError,
  InvalidJob,
} from "./errors.js";
